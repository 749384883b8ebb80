/** Tokens of a drawn picture at 1K, as Google bills it. */
export const DRAWN_PICTURE_TOKENS = 1120

const TOKENS_BY_RESOLUTION: Record<string, number> = {
  MEDIA_RESOLUTION_LOW: 280,
  MEDIA_RESOLUTION_MEDIUM: 560,
  MEDIA_RESOLUTION_HIGH: 1120,
}
const WIDE_SCRIPT = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/gu

/** About four characters a token, and two tokens for three characters of Chinese, Japanese or Korean. */
export function countTextTokens(text: string): number {
  const wide = text.match(WIDE_SCRIPT)?.length ?? 0
  return Math.ceil((text.length - wide) / 4 + (wide * 2) / 3)
}

/** An input picture: 258 for one tile of a 2.x model, by resolution for 3.x (default 1120). */
export function countPictureTokens(model: string, resolution: string | undefined): number {
  if (/^gemini-[12]\./.test(model)) return 258
  return TOKENS_BY_RESOLUTION[resolution ?? ''] ?? 1120
}

/** The start of a text that is worth at most this many tokens. */
export function cutToTokens(text: string, tokens: number): string {
  let end = text.length
  while (end > 0 && countTextTokens(text.slice(0, end)) > tokens) end = Math.floor(end * 0.9)
  return text.slice(0, end)
}
