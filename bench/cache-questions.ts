/** More than requests in flight, so that two of the same question are never under way at once and coalesced. */
const questions = 64

/** What is asked, in turn: as the web app does, with a language. */
export const paths = Array.from(
  { length: questions },
  (_, at) => `/api/subtopics?topic=${encodeURIComponent(`Photosynthesis, part ${at + 1}`)}&language=en`,
)
