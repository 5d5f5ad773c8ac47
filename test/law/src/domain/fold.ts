export const fold = (view: readonly string[], event: string): readonly string[] => [...view, event];
