import type { MessageViewValue } from '../../../src/contracts/view.ts';
import { useChoice, useConversation } from '../conversation-context.ts';
import { useEditor } from '../edits.ts';
import { InlineEditor } from '../inline-editor.tsx';
import { LongText } from '../long-text.tsx';
import { sizeText } from '../words.ts';
import { MessageActions } from './message-actions.tsx';

/** Beyond this a message is folded: it was pasted, and who wrote it knows it. */
const FOLD_CHARS = 2_000;

/** What somebody said. */
export function UserRow({ rowKey, message }: { rowKey: string; message: MessageViewValue }) {
  const { handle, followEnd, focusComposer } = useConversation();
  const { content, messageId } = message;
  const editor = useEditor({ of: 'message', id: messageId }, content);
  const { text } = editor;
  if (text !== null && message.cut !== true)
    return (
      <div className="user-row user-row-editing">
        <InlineEditor
          label="Edit message"
          saveLabel="Send"
          text={text}
          takesFocus={editor.takesFocus}
          onChange={editor.write}
          onCancel={() => {
            editor.close();
            focusComposer();
          }}
          onSave={() => {
            handle.send({ content: text, replaces: messageId });
            editor.close();
            followEnd();
            focusComposer();
          }}
        />
        <p className="user-row-hint">
          Sending it cuts this message and everything after it from the history; that stays
          readable.
        </p>
      </div>
    );
  return (
    <div className="user-row">
      <UserText name={rowKey} text={content} />
      <MessageActions message={message} onEdit={editor.open} />
    </div>
  );
}

/** A bubble with plain text, folded when it is long. `name`: of the choice to unfold it. */
export function UserText({ name, text }: { name: string; text: string }) {
  const [isOpen = false, setOpen] = useChoice(`long ${name}`);
  const isLong = text.length > FOLD_CHARS;
  return (
    <div className="user-bubble">
      {isLong && isOpen ? (
        <LongText text={text} label="Message" className="user-bubble-long" />
      ) : (
        <p className="user-bubble-text">
          {isLong ? `${text.slice(0, 600).toWellFormed()}…` : text}
        </p>
      )}
      {isLong && (
        <button type="button" className="link-button" onClick={() => setOpen(!isOpen)}>
          {isOpen ? 'Show less' : `Show all (${sizeText(text.length)})`}
        </button>
      )}
    </div>
  );
}
