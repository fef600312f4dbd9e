// Whether the rules that a mail has for Outlook.com's dark mode exist, and win over the colours
// that Outlook.com writes into the elements.
() => {
  const squeeze = text => text.replace(/\s+/g, ' ').trim();
  const rules = [];
  const collect = list => [...list].forEach(rule => {
    if (rule.selectorText && /\[data-ogs[cb]/.test(rule.selectorText)) rules.push(rule);
    else if (rule.cssRules && (!rule.media || matchMedia(rule.media.mediaText).matches)) {
      collect(rule.cssRules);
    }
  });
  [...document.styleSheets].forEach(sheet => collect(sheet.cssRules));
  const probe = document.createElement('i');
  document.body.append(probe);
  const computed = value => {
    probe.style.cssText = `color: ${value} !important`;
    return getComputedStyle(probe).color;
  };
  const losers = [];
  for (const [property, own] of [['color', 'color'], ['background-color', 'backgroundColor']]) {
    const wanted = new Map();
    for (const rule of rules) {
      const value = rule.style.getPropertyValue(property);
      if (!value) continue;
      for (const e of document.querySelectorAll(rule.selectorText)) {
        if (!wanted.has(e)) wanted.set(e, new Map());
        wanted.get(e).set(computed(value), rule.selectorText);
      }
    }
    for (const [e, values] of wanted) {
      const shown = getComputedStyle(e)[own];
      if (!values.has(shown)) {
        losers.push({rule: [...values.values()].pop(), property, shown, mark: `<${e.localName}>`,
                     text: squeeze(e.innerText || '')});
      }
    }
  }
  probe.remove();
  const has = name => rules.some(rule => rule.selectorText.includes(name));
  return {missing: ['[data-ogsc]', '[data-ogsb]'].filter(name => !has(name)), losers};
}
