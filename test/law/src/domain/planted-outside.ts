// expects: law(imports)
import manifest from '../../../../package.json' with { type: 'json' };

export const planted = manifest.name;
