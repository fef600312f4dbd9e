"use strict";
// Nodemailer with its pool. With NODEMAILER_RAW in the environment it is handed the finished
// message; without, each is composed from the subject and the two bodies, as its users do.

const fs = require("node:fs");
const nodemailer = require("nodemailer");

const [host, port, connections, messages, file] = process.argv.slice(2);
const isRaw = Boolean(process.env.NODEMAILER_RAW);
const raw = fs.readFileSync(file);

function readBodies() {
  const text = raw.toString("latin1");
  const headers = text.slice(0, text.indexOf("\r\n\r\n"));
  const boundary = /boundary="([^"]+)"/.exec(headers)[1];
  const bodies = text.split(`--${boundary}`).slice(1, 3).map((part) => {
    const encoded = part.slice(part.indexOf("\r\n\r\n") + 4).replace(/=\r\n/g, "");
    const bytes = encoded.replace(/=([0-9A-F]{2})/g, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
    return Buffer.from(bytes, "latin1").toString("utf8");
  });
  return { subject: /^Subject: (.*)$/m.exec(headers)[1], text: bodies[0], html: bodies[1] };
}

const content = isRaw ? { raw } : { from: "daily@news.example", ...readBodies() };

async function main() {
  const pool = nodemailer.createTransport({
    pool: true,
    host,
    port: Number(port),
    name: "news.example",
    secure: false,
    ignoreTLS: true,
    maxConnections: Number(connections),
    maxMessages: Infinity,
  });
  let next = 0;
  // As many callers as there are connections, and one more to keep the queue from running dry.
  async function call() {
    while (next < Number(messages)) {
      const to = `reader${++next}@example.org`;
      const addressed = isRaw ? { envelope: { from: "daily@news.example", to } } : { to };
      await pool.sendMail({ ...content, ...addressed });
    }
  }
  const cpu = process.cpuUsage();
  const began = process.hrtime.bigint();
  await Promise.all(Array.from({ length: Number(connections) + 1 }, call));
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  const used = process.cpuUsage(cpu);
  pool.close();
  console.log(JSON.stringify({
    messages: next,
    seconds,
    cpu_seconds: (used.user + used.system) / 1e6,
  }));
}

main().catch((error) => {
  console.error(String(error));
  process.exitCode = 1;
});
