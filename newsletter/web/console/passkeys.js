// Makes passkeys, and logs in with them. Without this the password is left.
"use strict";
const toBytes = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));
const toText = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes)))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
const read = (options) => {
  options.challenge = toBytes(options.challenge);
  if (options.user) options.user.id = toBytes(options.user.id);
  for (const each of options.excludeCredentials ?? []) each.id = toBytes(each.id);
  return options;
};
const parts = ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"];
const write = ({ id, rawId, type, response }) => JSON.stringify({
  id, type, rawId: toText(rawId),
  response: Object.fromEntries(
    parts.filter((part) => response[part]).map((part) => [part, toText(response[part])])),
});
const why = {
  InvalidStateError: "This device has a passkey of yours for this console already.",
  NotAllowedError: "No passkey was used: it was called off, took too long, or there is none here.",
};
for (const place of window.PublicKeyCredential ? document.querySelectorAll(".passkeys") : []) {
  place.hidden = false;
  place.querySelector("[autofocus]")?.focus();
}
for (const form of document.querySelectorAll("form[data-passkey]")) {
  const said = form.querySelector("[role=alert]");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.ariaBusy === "true") return;
    form.ariaBusy = "true";
    said.hidden = true;
    try {
      const { passkey, options, ask } = form.dataset;
      const publicKey = read(JSON.parse(options ?? await (await fetch(ask)).text()));
      form.elements.answer.value = write(await navigator.credentials[passkey]({ publicKey }));
      form.submit();
    } catch (error) {
      said.textContent = why[error.name] ?? `That did not work: ${error.message}`;
      said.hidden = false;
    }
    form.ariaBusy = "false";
  });
}
