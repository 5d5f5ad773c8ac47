// expects: law(imports)
import { Button } from '../parts/button.tsx';

export const planted = Button;
