"""The report's style sheet. Colours of figures and arms are variables that page.py sets for light and dark."""

CSS = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,
'Helvetica Neue',Arial,sans-serif}
main{max-width:1240px;margin:0 auto;padding:24px 20px 64px}
h1{font-size:1.7rem;line-height:1.2;margin:8px 0 4px}
h2{font-size:1.35rem;margin:44px 0 8px;padding-top:16px;border-top:1px solid var(--grid)}
h3{font-size:1.08rem;margin:36px 0 8px}
a{color:inherit}
.lede{max-width:75em;color:var(--soft);margin:0 0 8px}
.task{margin:12px 0 0;font-weight:600}
.verdict{list-style:none;margin:8px 0 0;padding:0;font-size:.94rem;border-top:1px solid var(--grid)}
.verdict li{display:flex;gap:10px;padding:5px 0;border-bottom:1px solid var(--grid)}
.verdict .note{color:var(--soft)}
.mark{flex:none;width:1.3em;text-align:center;color:var(--soft);font-weight:700}
.up .mark{color:var(--post_bc-0)}
.down .mark,li.warn .mark{color:var(--matched-0)}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:4px 22px;margin:14px 0 4px;padding:8px 0;
position:sticky;top:0;background:var(--paper);z-index:3;font-size:.92rem}
.legend li{display:flex;align-items:center}
.swatch{width:30px;height:14px;flex:none;margin-right:8px;vertical-align:-2px}
.panels{display:grid;grid-template-columns:repeat(3,minmax(0,1fr));gap:16px 28px}
.pair{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1.25fr);gap:16px 40px;margin-top:36px}
.pair h3{margin-top:0}
.twin{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:16px 40px;margin:12px 0 20px}
figure{margin:0;min-width:0}
figure>svg{display:block;width:100%;height:auto;max-width:600px}
table.best th:first-child{white-space:nowrap}
.wide,.narrow{margin-top:24px}
.wide figure>svg{max-width:1100px}
figure>svg text{font-family:inherit!important}
figcaption,.under{font-size:.86rem;color:var(--soft);margin:6px 0 8px;max-width:70em}
details{font-size:.88rem;margin:4px 0}
summary{cursor:pointer;color:var(--soft);padding:4px 0}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums;min-width:100%}
th,td{padding:7px 14px 7px 0;text-align:right;vertical-align:top;border-bottom:1px solid var(--grid);white-space:nowrap}
th:first-child{text-align:left;position:sticky;left:0;background:var(--paper);font-weight:600}
thead th{color:var(--soft);font-weight:600;vertical-align:bottom;white-space:normal}
td small{display:block;color:var(--soft);font-size:.82em}
span.warn{font-weight:600}
.missing{border:1px solid var(--fixed-0);border-radius:8px;padding:4px 16px 8px;margin:16px 0}
.missing h2{font-size:1rem;border:0;margin:8px 0 4px;padding:0}
.missing ul,.methods ul{margin:0;padding-left:1.2em;font-size:.9rem}
.methods{margin-top:36px;color:var(--soft)}
.methods h3{color:var(--ink)}
.methods li{max-width:70em;margin:4px 0}
pre{font-size:.8rem;overflow-x:auto}
@media(max-width:900px){.panels,.pair,.twin{grid-template-columns:minmax(0,1fr);gap:28px}}
@media(max-width:520px){main{padding:12px 14px 48px}h1{font-size:1.4rem}th,td{padding-right:12px}
th:first-child{white-space:normal;min-width:7.5em;max-width:8.5em;padding-right:8px}}
@media print{.legend{position:static}details:not([open])>*{display:none}}
""".replace('\n', '')
