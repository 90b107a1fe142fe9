-- wrk: POST /jobs/echo with the key in AUTODB_API_KEY and a payload of 200 bytes; counts what was not a 202.
wrk.method = "POST"
wrk.body = '{"payload":{"text":"' .. string.rep("x", 176) .. '","n":1}}'
wrk.headers["Content-Type"] = "application/json"
wrk.headers["X-API-Key"] = os.getenv("AUTODB_API_KEY")

local threads = {}
function setup(thread) table.insert(threads, thread) end
function init() accepted, other = 0, 0 end
function response(status) if status == 202 then accepted = accepted + 1 else other = other + 1 end end
function done(summary, latency)
  local accepted, other = 0, 0
  for _, thread in ipairs(threads) do
    accepted = accepted + thread:get("accepted")
    other = other + thread:get("other")
  end
  io.write(string.format("RESULT %d %d %.2f %.2f %d\n", summary.requests / (summary.duration / 1e6), accepted, latency:percentile(50) / 1000,
    latency:percentile(99) / 1000, other + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout))
end
