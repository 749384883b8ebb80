export { checkExplanation } from './explanation.ts'
export { checkSubtopics } from './subtopics.ts'
export { checkTopic } from './topic.ts'
export type { QualityIssue, QualityIssueType, QualityReport } from './types.ts'
