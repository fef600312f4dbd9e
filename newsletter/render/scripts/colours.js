// The two colours of a piece of text on a picture of it: its ground, which most of it has, and
// its ink, which is farthest from that. Between the two lies the smoothing of the letters.
async pictures => {
  const lightOf = colour => {
    const [r, g, b] = colour.map(v => v / 255)
      .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const data of pictures) {
    const bytes = Uint8Array.from(atob(data), c => c.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes], {type: 'image/png'}));
    const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
    const context = canvas.getContext('2d');
    context.drawImage(bitmap, 0, 0);
    const pixels = context.getImageData(0, 0, bitmap.width, bitmap.height).data;
    const counts = new Map();
    for (let n = 0; n < pixels.length; n += 4) {
      const colour = pixels[n] << 16 | pixels[n + 1] << 8 | pixels[n + 2];
      counts.set(colour, (counts.get(colour) || 0) + 1);
    }
    const colours = [...counts].sort((a, b) => b[1] - a[1])
      .map(([colour, count]) => ({rgb: [colour >> 16, colour >> 8 & 255, colour & 255], count}));
    const ground = colours[0].rgb, light = lightOf(ground);
    const ink = colours.filter(colour => colour.count >= 3)
      .map(colour => colour.rgb)
      .reduce((a, b) => Math.abs(lightOf(b) - light) > Math.abs(lightOf(a) - light) ? b : a, ground);
    found.push({ground, ink});
  }
  return found;
}
