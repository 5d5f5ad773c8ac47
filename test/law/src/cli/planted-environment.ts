// expects: law(environment)
export const planted = process.env['HOLDFAST_HOME'];
