// An S3 server for tests: AWS's own signer checks each request, then a backend answers, unless a fault was ordered. On a free port of 127.0.0.1,
// written to <folder>/port.
//
//   node serve.js s3rver FOLDER BUCKET…    the npm package s3rver, on files
//   node serve.js memory FOLDER BUCKET…    objects in memory: any key, If-Match, pages; for what s3rver does not do
//
// POST /-/faults [{on: "GET", match: "part of a key", kind, times}] orders faults; POST /-/load {bucket, prefix, count, bytes} makes objects; GET
// /-/stats counts requests by verb, refused signatures, and reads by key; POST /-/reset forgets counts and faults.
"use strict";
const crypto = require("crypto");
const fs = require("fs");
const http = require("http");
const path = require("path");
const { SignatureV4 } = require("@smithy/signature-v4");

const [backendName, folder, ...bucketNames] = process.argv.slice(2);
const credentials = { accessKeyId: process.env.AWS_ACCESS_KEY_ID || "S3RVER", secretAccessKey: process.env.AWS_SECRET_ACCESS_KEY || "S3RVER" };
let faults = [];
let stats;
const reset = () => (stats = { LIST: 0, GET: 0, PUT: 0, HEAD: 0, DELETE: 0, refused: [], reads: {} });
reset();

class Sha256 {
  constructor(key) {
    this.hash = key ? crypto.createHmac("sha256", key) : crypto.createHash("sha256");
  }
  update(data) {
    this.hash.update(data);
  }
  async digest() {
    return new Uint8Array(this.hash.digest());
  }
}

function xml(text) {
  return String(text).replace(/[<>&"]/g, (c) => ({ "<": "&lt;", ">": "&gt;", "&": "&amp;", '"': "&quot;" })[c]);
}

function refuse(res, status, code, headers = {}) {
  res.writeHead(status, { "Content-Type": "application/xml", ...headers });
  res.end(status === 304 ? "" : `<?xml version="1.0"?><Error><Code>${code}</Code><Message>as ordered</Message></Error>`);
}

// NULL, or why the signature is not what AWS's signer makes of the request.
async function wrongSignature(req, url, body) {
  const given = /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/s3\/aws4_request, SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
    req.headers.authorization || "",
  );
  if (!given) return "no signature";
  const [, , , region, names] = given;
  const at = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(req.headers["x-amz-date"] || "");
  if (!at) return "no date";
  const date = new Date(Date.UTC(at[1], at[2] - 1, at[3], at[4], at[5], at[6]));
  if (Math.abs(Date.now() - date) > 15 * 60000) return "too far from our time";
  const hash = crypto.createHash("sha256").update(body).digest("hex");
  if (req.headers["x-amz-content-sha256"] !== hash) return "the content is not what was signed";
  const headers = {};
  for (const name of names.split(";")) headers[name] = req.headers[name];
  for (const name of Object.keys(req.headers)) if (name.startsWith("x-amz-") && !(name in headers)) return `${name} is not signed`;
  if (!headers.host) return "the host is not signed";
  const query = {};
  for (const pair of url.search.slice(1).split("&").filter(Boolean)) {
    const [name, value] = pair.split("=");
    query[decodeURIComponent(name)] = decodeURIComponent(value || "");
  }
  const signer = new SignatureV4({ credentials, region, service: "s3", sha256: Sha256, uriEscapePath: false, applyChecksum: false });
  const signed = await signer.sign({ method: req.method, protocol: "http:", hostname: headers.host, path: url.path, query, headers }, { signingDate: date });
  return signed.headers.authorization === req.headers.authorization ? null : `signed otherwise: ${signed.headers.authorization}`;
}

// --- objects in memory ---

const buckets = new Map(bucketNames.map((name) => [name, new Map()]));
const order = new Map(); // sorted keys of a bucket, until it changes

function put(bucket, key, body) {
  buckets.get(bucket).set(key, { body, etag: `"${crypto.createHash("md5").update(body).digest("hex")}"`, at: new Date() });
  order.delete(bucket);
}

function sorted(bucket) {
  if (!order.has(bucket)) order.set(bucket, [...buckets.get(bucket).keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
  return order.get(bucket);
}

function list(res, bucket, query) {
  const prefix = query.get("prefix") || "";
  const max = Math.min(Number(query.get("max-keys") || 1000), 1000);
  const after = query.get("continuation-token") ? Buffer.from(query.get("continuation-token"), "base64").toString() : query.get("start-after") || "";
  const keys = sorted(bucket);
  let low = 0;
  for (let high = keys.length; low < high; ) {
    const middle = (low + high) >> 1;
    if (Buffer.compare(Buffer.from(keys[middle]), Buffer.from(after)) > 0 || after === "") high = middle;
    else low = middle + 1;
  }
  const found = [];
  for (; low < keys.length && found.length <= max; low++) if (keys[low].startsWith(prefix)) found.push(keys[low]);
  const page = found.slice(0, max);
  const more = found.length > max;
  const encode = query.get("encoding-type") === "url" ? (text) => encodeURIComponent(text).replace(/%20/g, "+").replace(/%2F/g, "/") : xml;
  const items = page.map((key) => {
    const object = buckets.get(bucket).get(key);
    return `<Contents><Key>${encode(key)}</Key><LastModified>${object.at.toISOString()}</LastModified><ETag>${xml(object.etag)}</ETag><Size>${object.body.length}</Size></Contents>`;
  });
  res.writeHead(200, { "Content-Type": "application/xml" });
  res.end(
    `<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>${bucket}</Name>` +
      (query.get("encoding-type") === "url" ? "<EncodingType>url</EncodingType>" : "") +
      `<IsTruncated>${more}</IsTruncated>` +
      (more ? `<NextContinuationToken>${Buffer.from(page[max - 1]).toString("base64")}</NextContinuationToken>` : "") +
      `<KeyCount>${page.length}</KeyCount>${items.join("")}</ListBucketResult>`,
  );
}

function memory(req, res, asked, body) {
  const objects = buckets.get(asked.bucket);
  if (!objects) return refuse(res, 404, "NoSuchBucket");
  if (!asked.key) return list(res, asked.bucket, asked.query);
  if (req.method === "PUT") {
    put(asked.bucket, asked.key, body);
    res.writeHead(200, { ETag: objects.get(asked.key).etag });
    return res.end();
  }
  if (req.method === "DELETE") {
    objects.delete(asked.key);
    order.delete(asked.bucket);
    res.writeHead(204);
    return res.end();
  }
  const object = objects.get(asked.key);
  if (!object) return refuse(res, 404, "NoSuchKey");
  if (req.headers["if-match"] && req.headers["if-match"] !== object.etag) return refuse(res, 412, "PreconditionFailed");
  res.writeHead(200, { ETag: object.etag, "Content-Length": object.body.length, "Last-Modified": object.at.toUTCString() });
  res.end(req.method === "HEAD" ? "" : object.body);
}

// --- s3rver ---

async function startS3rver() {
  const S3rver = require("s3rver");
  const directory = path.join(folder, "s3rver");
  fs.mkdirSync(directory, { recursive: true });
  const server = new S3rver({ port: 0, address: "127.0.0.1", silent: true, directory, allowMismatchedSignatures: true, configureBuckets: bucketNames.map((name) => ({ name })) });
  const { port } = await server.run();
  return (req, res, asked, body) => {
    const headers = { ...req.headers };
    delete headers["if-match"]; // s3rver does not know it
    delete headers.authorization; // nor all of what is signed; it has been checked
    const forwarded = http.request({ host: "127.0.0.1", port, method: req.method, path: req.url, headers }, (answer) => {
      if (req.headers["if-match"] && answer.statusCode === 200 && answer.headers.etag !== req.headers["if-match"]) {
        answer.resume();
        return refuse(res, 412, "PreconditionFailed");
      }
      res.writeHead(answer.statusCode, answer.headers);
      answer.pipe(res);
    });
    forwarded.on("error", () => refuse(res, 500, "InternalError"));
    forwarded.end(body);
  };
}

// --- faults ---

const kinds = {
  slowdown: (req, res) => refuse(res, 503, "SlowDown"),
  forbid: (req, res) => refuse(res, 403, "AccessDenied"),
  redirect: (req, res) => (/\/eu-south-9\/s3\//.test(req.headers.authorization) ? false : refuse(res, 301, "PermanentRedirect", { "x-amz-bucket-region": "eu-south-9" })),
  truncate: (req, res) => {
    res.writeHead(200, { ETag: req.headers["if-match"] || '"x"', "Content-Length": 1000 });
    res.write("# half of i", () => res.destroy());
  },
  change: (req, res, asked) => {
    put(asked.bucket, asked.key, Buffer.from(`# Changed ${crypto.randomUUID()}\n\nIt was replaced while it was read.\n`));
    return false;
  },
  stall: (req, res, asked, fault) => {
    setTimeout(() => refuse(res, 503, "SlowDown"), fault.ms || 1000);
  },
};

// Whether a fault answered.
function faulted(req, res, asked) {
  const fault = faults.find((f) => f.times > 0 && f.on === asked.verb && (asked.key || "").includes(f.match || ""));
  if (!fault) return false;
  if (kinds[fault.kind](req, res, asked, fault) === false) {
    if (fault.kind !== "redirect") fault.times--;
    return false;
  }
  fault.times--;
  return true;
}

// --- requests ---

function control(req, res, body) {
  const given = body.length ? JSON.parse(body) : null;
  if (req.url === "/-/faults") faults = given;
  if (req.url === "/-/reset") {
    reset();
    faults = [];
  }
  if (req.url === "/-/load")
    for (let i = 0; i < given.count; i++) {
      const text = `# Entry ${i}\n\nThe order ${i * 7919} was shipped by carrier ${i % 97} and paid in ${i % 13} parts.\n`;
      put(given.bucket, `${given.prefix}${String(i).padStart(6, "0")}.md`, Buffer.from(text.padEnd(given.bytes || 0, " and so it went on")));
    }
  res.writeHead(200, { "Content-Type": "application/json" });
  res.end(JSON.stringify(req.url === "/-/stats" ? stats : {}));
}

function asks(req) {
  const [rawPath, search] = req.url.split(/\?(.*)/s);
  const [, bucket, rest] = /^\/([^/]*)\/?(.*)$/s.exec(rawPath);
  const key = decodeURIComponent(rest);
  return { bucket, key, query: new URLSearchParams(search || ""), url: { path: rawPath, search: `?${search || ""}` }, verb: req.method === "GET" && !key ? "LIST" : req.method };
}

async function handle(backend, req, res, body) {
  if (req.url.startsWith("/-/")) return control(req, res, body);
  const asked = asks(req);
  stats[asked.verb]++;
  if (asked.verb === "GET") stats.reads[asked.key] = (stats.reads[asked.key] || 0) + 1;
  const wrong = await wrongSignature(req, asked.url, body);
  if (wrong) {
    stats.refused.push(`${req.method} ${req.url}: ${wrong}`);
    return refuse(res, 403, "SignatureDoesNotMatch");
  }
  if (!faulted(req, res, asked)) return backend(req, res, asked, body);
}

(async () => {
  const backend = backendName === "s3rver" ? await startS3rver() : memory;
  const server = http.createServer((req, res) => {
    const parts = [];
    req.on("data", (part) => parts.push(part));
    req.on("end", () => handle(backend, req, res, Buffer.concat(parts)).catch((error) => refuse(res, 500, String(error).replace(/\W/g, ""))));
  });
  server.keepAliveTimeout = 60000;
  server.listen(0, "127.0.0.1", () => {
    fs.writeFileSync(path.join(folder, "port.new"), String(server.address().port));
    fs.renameSync(path.join(folder, "port.new"), path.join(folder, "port"));
  });
})();
