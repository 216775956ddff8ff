/** The page's whole style sheet. Charts carry their light colours themselves; a dark page gives their classes others. */
export const PAGE_STYLE = `
:root{color-scheme:light dark;--paper:#fff;--ink:#1b1f24;--muted:#59626d;--rule:#d5d9de;--band:#f4f6f8;--missed:#a8321a}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 Helvetica,Arial,"Liberation Sans",sans-serif;font-variant-numeric:tabular-nums}
main{max-width:1120px;margin:0 auto;padding:32px 24px 64px}
h1{font-size:15px;font-weight:normal;color:var(--muted);margin:0 0 8px}
h2{font-size:20px;margin:56px 0 12px;padding-top:16px;border-top:1px solid var(--rule)}
h3{font-size:16px;margin:0 0 2px}
p{max-width:72ch;margin:0 0 12px}
.headline{font-size:25px;line-height:1.35;max-width:46ch;margin:0 0 14px;text-wrap:pretty}
.whole{display:inline-block;max-width:100%;overflow-wrap:anywhere}
.quiet,figcaption,caption{color:var(--muted);font-size:14px}
figure{margin:28px 0 0}
figcaption{margin:0 0 8px;max-width:80ch}
figcaption strong{display:block;color:var(--ink);font-size:16px}
.chart{display:block;width:100%;height:auto}
.narrow{display:none}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(420px,100%),1fr));gap:36px 40px;margin:24px 0 32px}
.grid figure{margin:0}
.grid p{font-size:14px;line-height:1.45}
.key{list-style:none;display:flex;flex-wrap:wrap;gap:4px 20px;margin:8px 0;padding:0;font-size:14px}
.key li{white-space:nowrap}
.key svg{vertical-align:-1px;margin-right:7px}
.scroll{overflow-x:auto;margin:24px 0}
table{border-collapse:collapse;font-size:14px;line-height:1.3}
caption{text-align:left;padding:0 0 8px}
th,td{padding:7px 0 7px 18px;text-align:right;vertical-align:top;white-space:nowrap}
thead th{font-weight:normal;color:var(--muted);white-space:normal;vertical-align:bottom;min-width:62px;border-bottom:1px solid var(--ink)}
tbody tr+tr>*{border-top:1px solid var(--rule)}
th:first-child{position:sticky;left:0;background:var(--paper);padding-left:0;text-align:left}
tbody th{font-weight:normal}
.group th{background:var(--band);color:var(--muted);font-size:13px;padding:5px 8px}
.group th span{position:sticky;left:8px}
tbody+tbody .group th{border-top:1px solid var(--ink)}
.word{text-align:left}
.missed{color:var(--missed);font-weight:bold}
.then{display:block;color:var(--muted);font-size:12.5px}
.mark{vertical-align:-2px;margin-right:9px}
.bar{display:block;margin-top:3px;outline:1px solid var(--rule)}
details{border-top:1px solid var(--rule);padding:10px 0}
summary{cursor:pointer}
pre{overflow-x:auto;background:var(--band);padding:12px 14px;font:13px/1.5 ui-monospace,Menlo,Consolas,"Liberation Mono",monospace;white-space:pre-wrap;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:6px 24px;margin:20px 0}
dt{color:var(--muted)}
dd{margin:0;max-width:72ch}
@media(max-width:640px){main{padding:20px 16px 48px}.headline{font-size:21px}.wide{display:none}.narrow{display:block}dl{grid-template-columns:1fr;gap:0}dd{margin-bottom:12px}th,td{padding-left:14px}tbody th{white-space:normal;min-width:132px}.mark{display:block;margin-bottom:2px}.group th{white-space:nowrap}}
@media(prefers-color-scheme:dark){
:root{--paper:#15181c;--ink:#e7eaee;--muted:#a2abb6;--rule:#343a42;--band:#1e2328;--missed:#ff9d80}
.chart .paper{color:var(--paper)}.ink{color:var(--ink)}.chart .muted{color:var(--muted)}.chart .grid-lines{color:#2a3037}.halo{stroke:var(--paper)}.hollow{fill:var(--paper)}
.s0{color:#56b4e9}.s1{color:#f0883e}.s2{color:#2fc298}.s3{color:#dd8fd0}.sb{color:#8f98a3}
}
@media print{.scroll{overflow:visible}details>*{display:block}}
`.trim();
