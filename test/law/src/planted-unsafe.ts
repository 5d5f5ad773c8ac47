// expects: typescript(no-unsafe-assignment) typescript(no-unsafe-member-access)
const parsed = JSON.parse('{}');
export const planted: unknown = parsed.field;
