export type ImageProblem =
  | 'empty'
  | 'unsupported_type'
  | 'broken'
  | 'too_many_pixels'
  | 'too_many_decoded_bytes'
  | 'too_many_scans'
  | 'too_many_chunks'
  | 'too_much_metadata'
  | 'too_many_frames'
  | 'too_slow'

/** An image that cannot be used; the message says what its sender can do. */
export class ImageError extends Error {
  readonly problem: ImageProblem

  constructor(problem: ImageProblem, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'ImageError'
    this.problem = problem
  }
}
