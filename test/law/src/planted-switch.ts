// expects: typescript(switch-exhaustiveness-check)
export function planted(end: 'completed' | 'failed'): void {
  switch (end) {
    case 'completed':
      process.exitCode = 0;
  }
}
