/** Rows of name, commands and reason. */
export const PACKAGES: readonly (readonly [names: string, users: string, reason: string])[];
