// Each message as a receiver would check it; and changed in one place, which must be refused. Prints how many were verified.
"use strict";
const fs = require("fs");
const { Webhook } = require("standardwebhooks");

function refused(webhook, body, headers) {
  try {
    webhook.verify(body, headers);
  } catch {
    return true;
  }
  return false;
}

const messages = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
for (const { secret, headers, body } of messages) {
  const webhook = new Webhook(secret);
  const told = webhook.verify(body, headers);
  if (told.type !== JSON.parse(body).type) throw new Error("verified something else");
  const changes = [
    [body.replace("job.", "bob."), headers],
    [body + " ", headers],
    [body, { ...headers, "webhook-id": headers["webhook-id"] + "x" }],
    [body, { ...headers, "webhook-timestamp": String(Number(headers["webhook-timestamp"]) - 1) }],
    [body, { ...headers, "webhook-timestamp": String(Number(headers["webhook-timestamp"]) - 3600) }],
  ];
  for (const [b, h] of changes) if (!refused(webhook, b, h)) throw new Error("took a changed message");
}
console.log(`verified ${messages.length}`);
