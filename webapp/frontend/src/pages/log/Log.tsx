export default function Log() {
  return <p>to come</p>;
}
