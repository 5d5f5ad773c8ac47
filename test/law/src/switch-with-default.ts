export function legal(end: 'completed' | 'failed'): number {
  switch (end) {
    case 'completed':
      return 0;
    default:
      return 1;
  }
}
