// expects: eslint(no-restricted-globals)
export const planted = setTimeout;
