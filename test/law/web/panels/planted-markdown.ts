// expects: law(imports)
import Markdown from 'react-markdown';

export const planted = Markdown;
