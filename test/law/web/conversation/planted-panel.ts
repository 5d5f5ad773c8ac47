// expects: law(imports)
import { panel } from '../panels/panel.ts';

export const planted = panel;
