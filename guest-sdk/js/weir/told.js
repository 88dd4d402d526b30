// What was thrown, as one line of text for the host.

export function told(error) {
  const text = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return text.replaceAll(/\s+/g, ' ').toWellFormed();
}
