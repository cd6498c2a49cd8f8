-- For wrk: each request is one of those in a file, drawn anew, with the zero byte between them. Prints one line that begins with FOUND.
local count = 0

function setup(thread)
  thread:set("number", count)
  count = count + 1
end

function init(args)
  requests = {}
  local file = assert(io.open(args[1], "rb"))
  for one in file:read("*a"):gmatch("[^%z]+") do
    requests[#requests + 1] = one
  end
  file:close()
  math.randomseed(64 + number)
end

function request()
  return requests[math.random(#requests)]
end

function done(summary, latency)
  local failed = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format("FOUND %d %d %d %d\n", summary.requests, failed, latency:percentile(50), latency:percentile(99)))
end
