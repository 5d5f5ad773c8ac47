import { Button as Base } from '@base-ui/react/button';
import { useState } from 'react';

import '../styles/parts.css';

export const Button = (): unknown => [Base, useState];
