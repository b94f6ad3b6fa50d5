export const site: string;
export function buildPages(to?: string): Promise<string>;
