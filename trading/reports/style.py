"""The style sheet of reports: light and dark, wide and narrow."""

STYLE = """
:root { --paper: #fff; --card: #f5f6f8; --ink: #1c2430; --soft: #5c6675; --grid: #dde1e7;
  --good: #1a8f4c; --bad: #cf3636; --series-1: #2563c9; --series-2: #d97a0b; --series-3: #1a8f4c;
  --series-4: #8a46c4; --series-5: #c22f6d; --series-6: #0b8793; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181f; --card: #1d232d; --ink: #e4e8ee;
  --soft: #9aa5b4; --grid: #36404e; --good: #3fc47a; --bad: #f0696a; --series-1: #6ea3f7;
  --series-2: #f5ab52; --series-3: #3fc47a; --series-4: #bd8cf0; --series-5: #f07fab;
  --series-6: #4bc6d2; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, "Segoe UI", Roboto, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 20px; }
h1 { margin: 0 0 2px; font-size: 26px; overflow-wrap: anywhere; }
h2 { margin: 30px 0 8px; font-size: 18px; }
h3 { margin: 16px 0 4px; font-size: 15px; }
p { margin: 4px 0 10px; color: var(--soft); }
.note { padding: 8px 12px; border-left: 3px solid var(--series-2); background: var(--card);
  color: var(--ink); }
.tiles { display: grid; grid-template-columns: repeat(6, 1fr); gap: 10px; margin: 16px 0; }
.tiles div { padding: 10px 12px; border-radius: 8px; background: var(--card); }
.tiles span { display: block; color: var(--soft); font-size: 12.5px; }
.tiles b { font-size: 20px; font-variant-numeric: tabular-nums; }
svg { display: block; width: 100%; height: auto; stroke-linejoin: round; }
.narrow { display: none; }
dl { display: grid; grid-template-columns: repeat(3, 1fr); gap: 0 28px; margin: 0; }
dl div { display: flex; justify-content: space-between; gap: 12px; padding: 4px 0;
  border-bottom: 1px solid var(--grid); }
dt { color: var(--soft); } dd { margin: 0; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px;
  font-variant-numeric: tabular-nums; white-space: nowrap; }
th, td { padding: 4px 8px; border-bottom: 1px solid var(--grid); text-align: right; }
th { color: var(--soft); font-weight: 500; }
th:first-child, td:first-child { text-align: left; }
.heat td { border: 1px solid var(--paper); text-align: center; padding: 5px 4px; }
.heat thead th { text-align: center; }
@media (max-width: 640px) {
  main { padding: 12px; } .wide { display: none; } .narrow { display: block; }
  .tiles { grid-template-columns: repeat(2, 1fr); } dl { grid-template-columns: 1fr; } }
@media print { main { max-width: none; } section { break-inside: avoid; } }
"""
