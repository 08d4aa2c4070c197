"""The style sheet of the reports of a bench and of a compilation: light, dark, and paper."""

from __future__ import annotations

STYLE = """
:root {
  --back: #ffffff; --card: #f5f7f9; --text: #1c2329; --soft: #5b6670; --line: #dde2e7;
  --compute: #2563c9; --l2: #23875a; --l3: #b96a08; --dram: #c0343b; --bar: #e6eaee;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --back: #14181c; --card: #1d2329; --text: #e4e9ed; --soft: #98a4ae; --line: #323b43;
    --compute: #6da5f7; --l2: #55c493; --l3: #e8a44d; --dram: #f0777c; --bar: #2b333b;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { margin: 0; font-size: 26px; overflow-wrap: anywhere; }
h2 { margin: 40px 0 10px; font-size: 18px; }
p { margin: 6px 0; }
.sub, .note { color: var(--soft); }
.note { font-size: 13px; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(128px, 1fr)); gap: 10px;
  margin: 22px 0 0; }
.tiles div { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 10px 14px; }
dt { color: var(--soft); font-size: 13px; }
dd { margin: 0; }
.tiles dd { font-size: 20px; font-weight: 600; font-variant-numeric: tabular-nums; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: 4px 20px; margin: 0; }
.strip { display: flex; height: 26px; margin: 12px 0 0; gap: 1px; border-radius: 5px;
  overflow: hidden; }
.strip i { flex-basis: 0; min-width: 0; }
i.compute { background: var(--compute); }
i.l2 { background: var(--l2); }
i.l3 { background: var(--l3); }
i.dram { background: var(--dram); }
i.share { background: var(--soft); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 22px; margin: 8px 0; padding: 0;
  list-style: none; font-size: 13px; }
.legend i { display: inline-block; width: 11px; height: 11px; margin-right: 7px;
  border-radius: 50%; }
.roofline { display: block; width: 100%; height: auto; background: var(--card);
  border: 1px solid var(--line); border-radius: 8px; }
.grid { stroke: var(--line); stroke-width: 1; fill: none; }
.tick, .axis, .label { font-size: 12px; fill: var(--soft); }
.number { font-size: 11px; font-weight: 600; fill: var(--text); pointer-events: none; }
.roof { fill: none; stroke-width: 2; }
.roof.compute, .dot.compute { stroke: var(--compute); }
.roof.l2, .dot.l2 { stroke: var(--l2); }
.roof.l3, .dot.l3 { stroke: var(--l3); }
.roof.dram, .dot.dram { stroke: var(--dram); }
.roof.soft { stroke-dasharray: 6 5; }
.dot { stroke-width: 1.5; fill-opacity: .3; }
.dot:hover { fill-opacity: .75; }
.dot.compute { fill: var(--compute); }
.dot.l2 { fill: var(--l2); }
.dot.l3 { fill: var(--l3); }
.dot.dram { fill: var(--dram); }
.dot.hollow { fill-opacity: .05; }
.edge { fill: none; stroke: var(--soft); stroke-width: 1.2; stroke-opacity: .6; }
.node { stroke: var(--back); stroke-width: 1; fill: var(--soft); }
.node:hover { stroke: var(--text); }
.node.int8 { fill: var(--compute); }
.node.int16 { fill: var(--l3); }
.node.float32, .node.bfloat16 { fill: var(--dram); }
i.int8 { background: var(--compute); }
i.int16 { background: var(--l3); }
i.float32, i.bfloat16 { background: var(--dram); }
i.cpu { background: var(--soft); }
.warning { color: var(--dram); }
.dear { margin: 6px 0; padding-left: 24px; font-size: 13px; }
.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: 13px;
  font-variant-numeric: tabular-nums; }
th, td { padding: 3px 7px; text-align: left; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; }
.n { text-align: right; }
td.name { max-width: 260px; overflow: hidden; text-overflow: ellipsis; }
tfoot td { font-weight: 600; border-bottom: 0; }
.bar { display: inline-block; width: 64px; height: 9px; margin-right: 6px; border-radius: 3px;
  background: var(--bar); overflow: hidden; }
.bar i { display: block; height: 100%; }
@media print {
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  main { max-width: none; padding: 0; }
  h2 { break-after: avoid; }
  tr, svg, .tiles div { break-inside: avoid; }
  body { font-size: 11px; }
  .tiles { grid-template-columns: repeat(auto-fit, minmax(96px, 1fr)); }
  table { font-size: 9.5px; }
  th, td { padding: 1px 4px; }
  td.name { white-space: normal; }
  .bar { width: 48px; }
}
"""
