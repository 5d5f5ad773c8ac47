export const idPattern = '^[a-z]+$';
