// Run axe-core, which the page has already, and give what is serious or critical.
async () => {
  const squeeze = text => text.replace(/\s+/g, ' ').trim();
  const results = await axe.run(document, {
    resultTypes: ['violations'],
    elementRef: true,
    selectors: false,
    preload: false,  // it would load style sheets; a mail has none of its own
    // A mail is shown inside another page, which has the landmarks.
    rules: {'landmark-one-main': {enabled: false}, region: {enabled: false}},
  });
  return results.violations
    .filter(violation => ['serious', 'critical'].includes(violation.impact))
    .flatMap(violation => violation.nodes.map(node => ({
      rule: violation.id,
      help: violation.help,
      mark: node.html.slice(0, node.html.indexOf('>') + 1),
      text: squeeze((node.element && (node.element.innerText || node.element.alt)) || ''),
      reason: [...node.any, ...node.all, ...node.none].map(check => check.message)[0] || '',
    })));
}
