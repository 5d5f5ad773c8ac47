// expects: law(environment)
export const planted = process.env['MODE'];
