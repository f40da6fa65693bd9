/** Return what closes a dialog by the Escape key, unless it was pressed in another dialog that lies over it. */
export function escapeFrom(id: string, close: () => void): (event: KeyboardEvent) => void {
  return ({ target }) => {
    if (target === document.body || (target instanceof Element && target.closest(`#${id}`))) close();
  };
}
