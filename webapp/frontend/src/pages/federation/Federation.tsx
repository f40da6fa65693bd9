export default function Federation() {
  return <p>to come</p>;
}
