// expects: law(imports)
import { activities } from '../activities/activities.ts';

export const planted = activities;
