export default function Users() {
  return <p>to come</p>;
}
