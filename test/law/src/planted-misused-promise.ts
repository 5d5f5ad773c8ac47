// expects: typescript(no-misused-promises)
export const planted = (): boolean => {
  if (Promise.resolve(false)) return true;
  return false;
};
