// A third-party LwM2M client (lwm2m-node-lib): registers as argv[3] at port argv[2], and sends Updates until argv[4] of them one
// after the other brought nothing; prints what was written to object 5 after each, one JSON object a line.
const l = require('lwm2m-node-lib').client;
const PATIENCE = 8000;  // milliseconds: longer than two of the server's tries are apart
const AFTER = 300;  // a write is answered in that time, and a second one, if any, has come
const MOST = 60;  // Updates, whatever comes
const [port, name, empty] = process.argv.slice(2);
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
  let count = 0, none = 0, wrote = [], over;
  const wait = (time) => { clearTimeout(over); over = setTimeout(told, time); };
  l.registry.bus.on('/5/0', (what, resource, value) => {
    wrote.push(value);
    if (over) wait(AFTER);  // not before the Update is answered
  });
  const told = () => {
    say({update: ++count, wrote});
    none = wrote.length ? 0 : none + 1;
    if (none < Number(empty) && count < MOST) step();
    else l.unregister(info, () => { say({ended: true}); process.exit(0); });
  };
  const step = () => {
    wrote = []; over = undefined;
    l.update(info, (fault) => {
      if (fault) fail(fault);
      wait(wrote.length ? AFTER : PATIENCE);
    });
  };
  step();
}));
