// A third-party LwM2M client (lwm2m-node-lib): registers as argv[3] at port argv[2], sends argv[4] Updates, and prints what was
// written to object 5 after each, one JSON object a line.
const l = require('lwm2m-node-lib').client;
const PATIENCE = 8000;  // milliseconds: longer than two of the server's tries are apart
const [port, name, updates] = process.argv.slice(2);
const config = {
  lifetime: '60', version: '1.0', logLevel: 'FATAL', observe: {period: 3000}, ipProtocol: 'udp4', serverProtocol: 'udp4',
  formats: [{name: 'lightweightm2m/text', value: 1541}], writeFormat: 'lightweightm2m/text',
};
const say = (value) => console.log(JSON.stringify(value));
const fail = (error) => { say({error: error.message || String(error)}); process.exit(1); };
l.init({client: config});
l.registry.create('/5/0', () => l.register('127.0.0.1', port, '', name, (error, info) => {
  if (error) fail(error);
  say({registered: info.location});
  let count = 0, last;
  const next = () => {
    if (count < Number(updates)) step();
    else l.unregister(info, () => { say({ended: true}); process.exit(0); });
  };
  // A write follows its Update at once, on a busy machine not at once: it is waited for, and where none comes, that long.
  const look = (until) => l.registry.get('/5/0', (lost, object) => {
    const held = object && object.attributes['0'], fresh = held !== undefined && held !== last;
    if (!fresh && Date.now() < until) return setTimeout(() => look(until), 20);
    say({update: ++count, wrote: fresh ? held : null});
    last = held;
    next();
  });
  const step = () => l.update(info, (fault) => {
    if (fault) fail(fault);
    look(Date.now() + PATIENCE);
  });
  step();
}));
