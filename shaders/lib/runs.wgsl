// shaders/lib/runs.wgsl: the update of a run of elements of a flat arena with up to two buffers, m and v, and an average.
// The kernel that uses this declares WG, FIRST, SECOND, EMA, the arenas w, g, m, v, ema, and its rule:
// `fn stepped(r: Rates, w: vec4f, g: vec4f, m: vec4f, v: vec4f) -> Stepped`.

struct Run {
  start: u32, // first vec4
  end: u32, // vec4s end here
  tail: u32, // elements behind them
  decay: f32, // weight decay; 0: none
  eps: f32,
  rate: f32, // multiplies lr
}
struct Rates {
  lr: f32,
  decay: f32,
  eps: f32,
  bias: vec2f, // Adam's corrections
  ema: vec2f, // weights of the average and of the new value
}
struct Stepped {
  w: vec4f,
  m: vec4f,
  v: vec4f,
}

fn update_run(run: Run, r: Rates, lid: u32) {
  for (var i = run.start + lid; i < run.end; i += WG) {
    var m0 = vec4f();
    var v0 = vec4f();
    if (FIRST) { m0 = m[i]; }
    if (SECOND) { v0 = v[i]; }
    let s = stepped(r, w[i], g[i], m0, v0);
    w[i] = s.w;
    if (FIRST) { m[i] = s.m; }
    if (SECOND) { v[i] = s.v; }
    if (EMA) { ema[i] = ema[i] * r.ema.x + s.w * r.ema.y; }
  }
  if (lid >= run.tail) { return; }
  let i = run.end;
  var m0 = 0.0;
  var v0 = 0.0;
  if (FIRST) { m0 = m[i][lid]; }
  if (SECOND) { v0 = v[i][lid]; }
  let s = stepped(r, vec4f(w[i][lid]), vec4f(g[i][lid]), vec4f(m0), vec4f(v0));
  w[i][lid] = s.w.x;
  if (FIRST) { m[i][lid] = s.m.x; }
  if (SECOND) { v[i][lid] = s.v.x; }
  if (EMA) { ema[i][lid] = ema[i][lid] * r.ema.x + s.w.x * r.ema.y; }
}
