/** What an upload may cost. README.md says it to users; every refusal names the bound that it met. */

export const maxImageBytes = 10 * 1024 * 1024
/** Width × height. */
export const maxPixels = 50_000_000
/** Of either side: the rows that the scaler holds grow with the square of the width, to gigabytes for a million pixels. */
export const maxSidePixels = 20_000
/** What the image takes when it is decoded as a whole, as interlaced and progressive ones are. */
export const maxDecodedBytes = 200_000_000
/** Of a JPEG: the decoder goes over the whole image once for each scan. Encoders write about ten. */
export const maxScans = 64
/** Of a PNG, up to its IEND: a file of 10 MiB in chunks of 4 KiB has 2,600. */
export const maxChunks = 10_000
/** Of the chunks beside the pixels that the decoder is given, such as a colour profile. Texts are dropped, not counted. */
export const maxMetadataBytes = 1024 * 1024
/** Of an animated WebP, although only the first is decoded. */
export const maxFrames = 1_000

/** For reading the header, and again for decoding. */
export const decodeTimeoutMs = 10_000
/** For a free decoder. */
export const maxDecodeWaitMs = 10_000
/** Each has a process of its own. Together they decode at most `maxDecodedBytes` at a time. */
export const decoderCount = 2
