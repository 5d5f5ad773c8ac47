// expects: law(imports) typescript(consistent-type-imports)
export type Planted = import('../store/port.ts').Store;
