import { useId, type ReactNode } from 'react';

type FieldProps = { id: string; 'aria-invalid': boolean; 'aria-describedby': string | undefined };

/** A label, what is typed, and below it a hint or what is wrong. */
export function Field({
  label,
  hint,
  fault,
  children,
}: {
  label: string;
  hint?: string;
  fault?: string | undefined;
  children: (field: FieldProps) => ReactNode;
}) {
  const id = useId();
  const words = fault ?? hint;
  return (
    <div className="field">
      <label className="field-label" htmlFor={id}>
        {label}
      </label>
      {children({
        id,
        'aria-invalid': fault !== undefined,
        'aria-describedby': words === undefined ? undefined : `${id}-words`,
      })}
      {words !== undefined && (
        <span id={`${id}-words`} className={fault === undefined ? 'field-hint' : 'field-problem'}>
          {words}
        </span>
      )}
    </div>
  );
}
