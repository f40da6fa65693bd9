export default function History() {
  return <p>to come</p>;
}
