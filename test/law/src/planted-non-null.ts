// expects: typescript(no-non-null-assertion)
export const planted = (value: string | null): string => value!;
