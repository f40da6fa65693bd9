export default function Version() {
  return <p>to come</p>;
}
