// expects: law(imports)
import { useState } from 'react';

export const planted = useState;
