// The filter over the refused rows: text, and the cause that was clicked. Without script the page
// shows all rows; nothing is loaded or sent.
(() => {
  const box = document.querySelector("#filter");
  if (!box) return;
  const input = box.querySelector("input");
  const found = box.querySelector("output");
  const rows = [...document.querySelectorAll("#refused tr[data-cause]")];
  const causes = [...document.querySelectorAll("button[data-cause]")];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  let cause = null;
  const apply = () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, number) => {
      const visible = (cause === null || row.dataset.cause === cause)
        && words.every((word) => texts[number].includes(word));
      row.hidden = !visible;
      shown += visible;
    });
    found.textContent = shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
    causes.forEach((button) => {
      button.setAttribute("aria-pressed", String(button.dataset.cause === cause));
    });
    if (cause !== null || words.length) box.closest("details").open = true;
  };
  causes.forEach((button) => {
    button.disabled = false;
    button.addEventListener("click", () => {
      cause = button.dataset.cause === cause ? null : button.dataset.cause;
      apply();
    });
  });
  input.addEventListener("input", apply);
  box.hidden = false;
  apply();
})();
